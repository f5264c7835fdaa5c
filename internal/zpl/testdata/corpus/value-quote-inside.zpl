a = x"y"
