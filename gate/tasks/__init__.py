"""Tasks turn labels and two models' answers into outcomes: right or wrong, twice."""
