#   ****  Generated on 2026-01-05 10:11:12 by CZMQ  ****
#   ZeroMQ CURVE Public Certificate

metadata
    email = "ph@imatix.com"
    name = "Pieter Hintjens"
curve
    public-key = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
