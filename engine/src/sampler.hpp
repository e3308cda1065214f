// Draws a code from logits, as sampling.py defines it.
#pragma once

#include <span>

#include "buffer.hpp"
#include "kernels.hpp"

namespace wavewright {

class Sampler {
public:
    Sampler(const Kernels& kernels, int most_levels) : kernels_(kernels), weights_(most_levels), order_(most_levels) {}

    // 0 <= uniform < 1, temperature >= 0, top_k >= 1, 0 < top_p <= 1
    int draw(const float* logits, int levels, double uniform, double temperature, int top_k, double top_p);

private:
    void keep_likeliest(int levels, int top_k, double top_p);

    const Kernels& kernels_;
    Buffer<double> weights_;
    Buffer<int> order_;
};

}  // namespace wavewright
