a = it's "x"
