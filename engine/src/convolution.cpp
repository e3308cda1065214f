#include "convolution.hpp"

#include <algorithm>

namespace wavewright {

Convolution::Convolution(const BuildContext& context, const std::string& name, const ConvolutionShape& shape,
                         const Matrix& bias)
    : runtime_(&context.runtime),
      dilation_(shape.dilation),
      slots_((shape.taps - 1) * shape.dilation + 1),
      stride_(padded(shape.columns)),
      ring_(std::size_t(slots_) * runtime_->streams * stride_) {
    for (int tap = 0; tap < shape.taps; tap++)
        taps_.emplace_back(context.tap_weight(name, shape.rows, shape.columns, shape.taps, tap), context.precision,
                           shape.groups);
    bias_ = pack(bias.empty() ? Matrix(shape.rows, 1) : bias, shape.groups);
    context.runtime.reserve(runtime_->streams, shape.columns);
}

Cost Convolution::cost() const {
    Cost all;
    for (const PackedMatrix& tap : taps_) all += tap.cost();
    return all;
}

void Convolution::start(int thread, std::uint64_t clock, const VectorsView& all) const {
    const VectorsView sums = runtime_->own(thread, all);
    const auto [first, last] = runtime_->team.rows(thread, taps_[0].blocks);
    for (int s = 0; s < sums.count; s++)
        std::copy_n(bias_.data() + first * kBlock, (last - first) * kBlock, sums[s] + first * kBlock);
    const int past_taps = static_cast<int>(taps_.size()) - 1;
    for (int tap = 0; tap < past_taps; tap++)
        add_tap(thread, tap, inputs(clock, std::uint64_t(past_taps - tap) * dilation_), all);
}

void Convolution::finish(int thread, const VectorsView& x, const VectorsView& sums) const {
    add_tap(thread, static_cast<int>(taps_.size()) - 1, x, sums);
}

void Convolution::fill_past() {
    const std::ptrdiff_t size = runtime_->streams * stride_;
    for (int slot = 1; slot < slots_; slot++) std::copy_n(ring_.data(), size, ring_.data() + slot * size);
}

void Convolution::add_tap(int thread, int tap, const VectorsView& x, const VectorsView& all) const {
    const VectorsView sums = runtime_->own(thread, all);
    const PackedMatrix& matrix = taps_[tap];
    const Operand operands = runtime_->operand(thread, matrix, x);
    const auto [first, last] = runtime_->team.rows(thread, matrix.blocks);
    for (int block = first; block < last; block++)
        runtime_->kernels.product(matrix, block, operands, sums.count, sums.data + block * kBlock, sums.stride);
}

}  // namespace wavewright
