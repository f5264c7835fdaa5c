bind = tcp://*:5555
