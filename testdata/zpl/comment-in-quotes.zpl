a = "x # y"
b = ' # '
