"""What the gate does, told once each: check, compare, promote, validate. They introduce the rooms to one another."""
