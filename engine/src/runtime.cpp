#include "runtime.hpp"

#include <algorithm>
#include <cmath>

namespace wavewright {
namespace {

int even(int columns) { return (columns + 1) / 2 * 2; }

}  // namespace

void Runtime::reserve(int vectors, int size) {
    const std::size_t codes = std::size_t(vectors) * padded(size);
    for (Scratch& scratch : scratch_) {
        if (scratch.codes.size() < codes) scratch.codes = Buffer<std::int16_t>(codes);
        if (scratch.scales.size() < std::size_t(vectors)) scratch.scales = Buffer<float>(vectors);
    }
}

Operand Runtime::operand(int thread, const MatrixView& matrix, const VectorsView& all) const {
    const VectorsView x = own(thread, all);
    if (matrix.precision != Precision::int8) return {x.data, nullptr, nullptr, x.stride};
    const Scratch& scratch = scratch_[thread];
    const int columns = even(matrix.columns);
    // Sums of 127 * limit * columns must stay below 2^31.
    const float limit = std::min(32767.0f, std::floor(2147483647.0f / (127.0f * static_cast<float>(columns)) - 1.0f));
    const std::ptrdiff_t stride = padded(columns);
    for (int i = 0; i < x.count; i++)
        scratch.scales[i] = kernels.quantise(x[i], columns, limit, scratch.codes.data() + i * stride);
    return {nullptr, scratch.codes.data(), scratch.scales.data(), stride};
}

}  // namespace wavewright
