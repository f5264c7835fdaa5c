a = "x # y" # z
b = "x"#z
c = 'x'	# z
