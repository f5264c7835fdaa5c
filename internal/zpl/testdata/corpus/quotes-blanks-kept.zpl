a = "  x	 "
