a = "x'
