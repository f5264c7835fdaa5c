a =	# y
