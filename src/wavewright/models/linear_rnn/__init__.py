"""LinearRNN, complex diagonal linear recurrences at several rates."""
