"""What ``gate demo`` runs, written as a user would write it: train, register, check, promote."""
