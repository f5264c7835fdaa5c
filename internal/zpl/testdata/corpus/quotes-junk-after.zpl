a = "x" y
