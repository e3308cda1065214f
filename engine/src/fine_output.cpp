#include "fine_output.hpp"

#include <algorithm>

namespace wavewright {

FineOutput::FineOutput(const BuildContext& context)
    : kernels_(context.runtime.kernels),
      weight_(context.weight("fine.output.weight", context.fine_levels, kHidden), Precision::float32),
      bias_(pack(context.weight("fine.output.bias", context.fine_levels))) {
    const Matrix table = context.weight("fine.table", context.coarse_levels(), kHidden);
    table_ = Buffer<float>(table.values.size());
    std::copy(table.values.begin(), table.values.end(), table_.data());
    for (int thread = 0; thread < context.runtime.team.size(); thread++) {
        hidden_.emplace_back(kHidden);
        logits_.emplace_back(bias_.size());
    }
}

const float* FineOutput::logits(int thread, const float* outputs, int coarse) const {
    float* const hidden = hidden_[thread].data();
    float* const logits = logits_[thread].data();
    std::copy_n(outputs, kHidden, hidden);
    kernels_.add(hidden, table_.data() + std::size_t(coarse) * kHidden, kHidden);
    kernels_.relu(hidden, hidden, kHidden);
    std::copy_n(bias_.data(), bias_.size(), logits);
    const Operand operand{hidden, nullptr, nullptr, nullptr, kHidden};
    for (int block = 0; block < weight_.blocks; block++)
        kernels_.product(weight_, block, operand, 1, logits + block * kBlock, 0);
    return logits;
}

}  // namespace wavewright
