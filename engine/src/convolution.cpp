#include "convolution.hpp"

#include <algorithm>

namespace wavewright {

Convolution::Convolution(const BuildContext& context, const std::string& name, const ConvolutionShape& shape,
                         const Matrix& bias)
    : runtime_(&context.runtime),
      dilation_(shape.dilation),
      slots_((shape.taps - 1) * shape.dilation + 1),
      turn_(runtime_->ahead(shape.dilation)),
      stride_(padded(shape.columns)),
      ring_(std::size_t(slots_) * runtime_->streams * stride_),
      ahead_(turn_ > 1 ? turn_ * runtime_->streams : 0, shape.rows) {
    for (int tap = 0; tap < shape.taps; tap++)
        taps_.emplace_back(context.tap_weight(name, shape.rows, shape.columns, shape.taps, tap), context.precision,
                           shape.groups);
    bias_ = pack(bias.empty() ? Matrix(shape.rows, 1) : bias, shape.groups);
    context.runtime.reserve(runtime_->vectors(), shape.columns);
}

Cost Convolution::past() const {
    Cost all;
    for (std::size_t tap = 0; tap + 1 < taps_.size(); tap++) all += taps_[tap].cost();
    return all;
}

void Convolution::start(int thread, const Stretch& stretch, const VectorsView& x, const VectorsView& sums) const {
    if (turn_ == 1 || stretch.samples > 1) return add_past(thread, stretch, x, sums);
    const int streams = runtime_->streams, place = static_cast<int>(stretch.clock % turn_);
    if (stretch.first || place == 0) {
        const int samples = static_cast<int>(std::min<std::uint64_t>(turn_ - place, stretch.coming + 1));
        add_past(thread, {stretch.clock, samples}, x, ahead_.slice(place * streams, samples * streams));
    }
    const VectorsView known = ahead_.slice(place * streams, streams);
    const auto [first, last] = runtime_->team.rows(thread, taps_[0].blocks);
    for (int s = 0; s < streams; s++)
        std::copy_n(known[s] + first * kBlock, (last - first) * kBlock, sums[s] + first * kBlock);
}

void Convolution::add_past(int thread, const Stretch& stretch, const VectorsView& x, const VectorsView& all) const {
    const VectorsView sums = runtime_->own(thread, all);
    const auto [first, last] = runtime_->team.rows(thread, taps_[0].blocks);
    for (int i = 0; i < sums.count; i++)
        std::copy_n(bias_.data() + first * kBlock, (last - first) * kBlock, sums[i] + first * kBlock);
    const int past_taps = static_cast<int>(taps_.size()) - 1, streams = runtime_->streams;
    for (int tap = 0; tap < past_taps; tap++) {
        const int back = (past_taps - tap) * dilation_;
        for (int sample = 0, count; sample < stretch.samples; sample += count) {
            count = stretch.samples - sample;
            VectorsView source = x;
            if (sample < back) {  // before the stretch, in the ring, up to the ring's end
                const int slot = static_cast<int>((stretch.clock + slots_ - back + sample) % slots_);
                count = std::min({count, back - sample, slots_ - slot});
                source = slots(slot, count);
            } else {
                source = x.slice((sample - back) * streams, count * streams);
            }
            add_tap(thread, tap, source, all.slice(sample * streams, count * streams));
        }
    }
}

void Convolution::finish(int thread, const VectorsView& x, const VectorsView& sums) const {
    add_tap(thread, static_cast<int>(taps_.size()) - 1, x, sums);
}

void Convolution::keep(int thread, const Stretch& stretch, const VectorsView& x) const {
    if (stretch.samples == 1) return;
    const auto [first, last] = runtime_->team.rows(thread, x.blocks());  // as the thread that overwrites x
    const int begin = first * kBlock, end = std::min(last, static_cast<int>(stride_) / kBlock) * kBlock;
    for (int sample = std::max(0, stretch.samples - slots_); sample < stretch.samples && begin < end; sample++) {
        const VectorsView slot = slots((stretch.clock + sample) % slots_, 1);
        for (int s = 0; s < slot.count; s++)
            std::copy_n(x[sample * slot.count + s] + begin, end - begin, slot[s] + begin);
    }
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
