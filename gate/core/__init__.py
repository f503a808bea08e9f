"""Pure arithmetic: outcomes, flips, rates, bounds, significance, sample size. numpy and scipy.special only."""
