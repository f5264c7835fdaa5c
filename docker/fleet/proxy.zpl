fleet = fleet.conf
frontend = echo
    type = router
    bind = "tcp://*:5555"
    backend = tcp://backend:6666
    mechanism = curve
    domain = global
    certificate = server.key_secret
