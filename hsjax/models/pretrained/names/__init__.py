"""What the variables of each family are called in other libraries, a file per family."""
