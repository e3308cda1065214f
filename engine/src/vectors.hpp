// Vectors of float32 that lie one behind the other, mostly one for each stream.
#pragma once

#include <cstddef>

#include "buffer.hpp"
#include "kernels.hpp"

namespace wavewright {

// The kernels work on blocks of 64 rows, so every vector is padded to whole blocks.
inline int padded(int size) { return (size + kBlock - 1) / kBlock * kBlock; }

struct VectorsView {
    float* data = nullptr;
    int count = 0;
    std::ptrdiff_t stride = 0;  // from one vector to the next, a multiple of 64

    float* operator[](int i) const { return data + i * stride; }
    int blocks() const { return static_cast<int>(stride) / kBlock; }
    VectorsView slice(int first, int slice_count) const { return {(*this)[first], slice_count, stride}; }
};

// Vectors with memory of their own, zeros at first.
struct Vectors : VectorsView {
    Vectors() = default;
    Vectors(int vectors, int size) : storage_(static_cast<std::size_t>(vectors) * padded(size)) {
        data = storage_.data();
        count = vectors;
        stride = padded(size);
    }
    std::span<std::byte> bytes() const { return storage_.bytes(); }

private:
    Buffer<float> storage_;
};

}  // namespace wavewright
