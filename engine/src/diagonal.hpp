// Complex diagonal linear recurrences (models/linear_rnn/diagonal.py). For each channel with the input u, and each of
// its modes,
//
//     h = lambda h + u,    y = Re sum over modes of kappa gamma h, + delta u.
//
// The states are those of the torch model over gamma. Lambda and the products of kappa and gamma are computed in
// float64 and stay float32 in every precision. A slow mode's time constant would be 1 in 4,000 off, since 1 - |lambda|
// would, so lambda is the sum of two float32 numbers.
#pragma once

#include <complex>
#include <string>

#include "build_context.hpp"

namespace wavewright {

class Diagonal {
public:
    // Reads the weights name.nu, .theta, .kappa and .delta. period: see settle.
    Diagonal(const BuildContext& context, const std::string& name, int channels, int modes, int period);

    Cost cost() const;
    std::span<std::byte> state() const { return states_.bytes(); }

    // Computes y (steps, streams) and the states after them from u, for the thread's own channels and streams.
    void step(int thread, const VectorsView& u, const VectorsView& y) const;

    // The first stream's states become zero.
    void clear() const;
    // The states that `period` inputs left in the first stream, from zero on, become those that the same inputs leave
    // if they repeat for ever, in all streams.
    void settle() const;

private:
    VectorsView states(int stream) const { return states_.slice(stream * 2 * modes_, 2 * modes_); }

    const Runtime* runtime_;
    int channels_, modes_;
    Vectors constants_;  // see DiagonalView
    Vectors direct_;
    Vectors states_;                             // (streams, modes, 2)
    std::vector<std::complex<double>> repeats_;  // (modes, channels): 1 / (1 - lambda^period)
};

}  // namespace wavewright
