domain = "*"
    allow = 10.0.0.0/8
    allow = ::1
    plain
        file = '/etc/zmqauth/passwords'
domain = global
    curve
        directory = clients
