a = x\ny
b = "x\ty"
