#include "upsampling.hpp"

#include <algorithm>

namespace wavewright {

Handed::Handed(const Runtime& runtime, int frame, int ratio, int size)
    : runtime_(&runtime),
      frame_(frame),
      ratio_(ratio),
      vectors_(((runtime.samples + frame - 2) / frame + 1) * ratio * runtime.streams, size) {}

std::span<std::byte> Handed::state() const {
    return vectors_.bytes().first(std::size_t(ratio_) * runtime_->streams * vectors_.stride * sizeof(float));
}

void Handed::keep(int thread, const Stretch& stretch) const {
    const std::uint64_t last = (stretch.clock + stretch.samples - 1) / frame_;
    if (last == stretch.clock / frame_) return;
    const VectorsView from = of(stretch, last * ratio_, ratio_);
    const auto [first, end] = runtime_->team.rows(thread, from.blocks());
    for (int i = 0; i < from.count; i++)
        std::copy_n(from[i] + first * kBlock, (end - first) * kBlock, vectors_[i] + first * kBlock);
}

Upsampling::Upsampling(const Runtime& runtime, int frame, std::vector<Dense> matrices, int size)
    : Handed(runtime, frame, static_cast<int>(matrices.size()), size), matrices_(std::move(matrices)) {}

void Upsampling::apply(int thread, const Stretch& stretch, const VectorsView& x) const {
    const int streams = runtime_->streams, steps = x.count / streams;
    const std::uint64_t first = stretch.first_step(frame_) * ratio_;
    if (streams > 1 || steps == 1) {
        for (int step = 0; step < steps; step++)
            apply(thread, x.slice(step * streams, streams), of(stretch, first + step * ratio_, ratio_));
        return;
    }
    const Operand operand = matrices_[0].operand(thread, x);
    for (int k = 0; k < ratio_; k++)
        matrices_[k].apply(thread, operand, {of(stretch, first + k, 1).data, steps, ratio_ * vectors_.stride});
}

void Upsampling::apply(int thread, const VectorsView& x, const VectorsView& y) const {
    const Operand operand = matrices_[0].operand(thread, x);
    for (int k = 0; k < ratio_; k++) matrices_[k].apply(thread, operand, y.slice(k * x.count, x.count));
}

}  // namespace wavewright
