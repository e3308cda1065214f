// The second draw of a code that is drawn in two parts (models/output.py, Split).
#pragma once

#include "build_context.hpp"

namespace wavewright {

// Logits of a code's fine part: W relu(outputs + table[coarse part]) + b. It stays in float32, since it is small.
class FineOutput {
public:
    static constexpr int kHidden = 64;  // outputs of a network behind its coarse logits

    explicit FineOutput(const BuildContext& context);

    Cost cost() const { return weight_.cost(); }
    // The calling thread computes those of one stream alone. They last until its next call.
    const float* logits(int thread, const float* outputs, int coarse) const;

private:
    const Kernels& kernels_;
    Buffer<float> table_;
    PackedMatrix weight_;
    Buffer<float> bias_;
    std::vector<Buffer<float>> hidden_, logits_;  // of each thread
};

}  // namespace wavewright
