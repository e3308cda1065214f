#include "runtime.hpp"

namespace wavewright {
void Runtime::reserve(int vectors, int size) {
    const std::size_t codes = std::size_t(vectors) * padded(size);
    for (Scratch& scratch : scratch_) {
        if (scratch.codes.size() < codes) scratch.codes = Buffer<std::uint8_t>(codes);
        if (scratch.scales.size() < std::size_t(vectors)) {
            scratch.scales = Buffer<float>(vectors);
            scratch.starts = Buffer<std::int32_t>(vectors);
        }
    }
}

Operand Runtime::operand(int thread, const MatrixView& matrix, const VectorsView& all) const {
    const VectorsView x = own(thread, all);
    if (matrix.precision != Precision::int8) return {x.data, nullptr, nullptr, nullptr, x.stride};
    const Scratch& scratch = scratch_[thread];
    const std::ptrdiff_t stride = padded(matrix.columns);
    for (int i = 0; i < x.count; i++)
        scratch.scales[i] =
            kernels.quantise(x[i], matrix.columns, scratch.codes.data() + i * stride, scratch.starts.data() + i);
    return {nullptr, scratch.codes.data(), scratch.scales.data(), scratch.starts.data(), stride};
}

}  // namespace wavewright
