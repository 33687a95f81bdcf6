"""Tests of teemate.ko on a debug kernel. Building one takes half an hour, so `make test` leaves them out."""
