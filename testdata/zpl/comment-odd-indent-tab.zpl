a
  	# x
