#include "dense.hpp"

#include <algorithm>

namespace wavewright {

Dense::Dense(const BuildContext& context, const Matrix& weight, const Matrix& bias, const DenseOptions& options)
    : runtime_(&context.runtime),
      weight_(weight, context.precision, options.groups),
      bias_(pack(bias.empty() ? Matrix(weight.rows, 1) : bias, options.groups)),
      relu_(options.relu) {
    context.runtime.reserve(options.vectors ? options.vectors : context.runtime.vectors(), weight.columns);
}

void Dense::apply(int thread, const Operand& x, const VectorsView& all) const {
    const Kernels& kernels = runtime_->kernels;
    const VectorsView y = runtime_->own(thread, all);
    const auto [first, last] = runtime_->team.rows(thread, weight_.blocks);
    for (int block = first; block < last; block++) {
        const VectorsView rows{y.data + block * kBlock, y.count, y.stride};
        for (int i = 0; i < y.count; i++) std::copy_n(bias_.data() + block * kBlock, kBlock, rows[i]);
        kernels.product(weight_, block, x, y.count, rows.data, y.stride);
        if (!relu_) continue;
        for (int i = 0; i < y.count; i++) kernels.relu(rows[i], rows[i], kBlock);
    }
}

void Dense::add(int thread, const VectorsView& x, const VectorsView& all) const {
    const Kernels& kernels = runtime_->kernels;
    const VectorsView y = runtime_->own(thread, all);
    const Operand operands = operand(thread, x);
    const auto [first, last] = runtime_->team.rows(thread, weight_.blocks);
    for (int block = first; block < last; block++) {
        const VectorsView rows{y.data + block * kBlock, y.count, y.stride};
        for (int i = 0; i < y.count; i++) kernels.add(rows[i], bias_.data() + block * kBlock, kBlock);
        kernels.product(weight_, block, operands, y.count, rows.data, y.stride);
    }
}

}  // namespace wavewright
