// Codes as the input of a network.
#pragma once

#include <vector>

#include "build_context.hpp"

namespace wavewright {

// The last codes of every stream.
class CodeHistory {
public:
    CodeHistory(int streams, int length) : length_(length), codes_(std::size_t(streams) * length) {}

    int length() const { return length_; }
    void push(int stream, int code);
    // The last `count` codes of a stream, the oldest first.
    const int* last(int stream, int count) const { return codes_.data() + (stream + 1) * length_ - count; }
    std::span<std::byte> bytes() const { return codes_.bytes(); }

private:
    int length_;
    Buffer<int> codes_;
};

struct CodeImageOptions {
    Matrix bias = {};          // empty for zeros
    Embedding embedding = {};  // empty for scalar codes
    float scale = 1;           // scalar codes are amplitudes in (-scale, scale)
    int groups = 1;            // see PackedMatrix
};

// A linear image of a stream's last codes. Scalar codes are amplitudes, embedded codes are learned vectors.
class CodeImage {
public:
    CodeImage() = default;
    // The weight is (rows, codes that it reaches back), or (rows, that many times the embedding's width).
    CodeImage(const BuildContext& context, const Matrix& weight, const CodeImageOptions& options);
    // Each place has an embedding of its own, (its codes, width), and the weight is (rows, width).
    CodeImage(const BuildContext& context, const Matrix& weight, const std::vector<Matrix>& embeddings, int groups = 1);

    // y = bias + image, for all rows of the thread's own streams.
    void apply_alone(int thread, const CodeHistory& codes, const VectorsView& y) const;
    // y = x + image, for the thread's own rows and streams.
    void apply(int thread, const CodeHistory& codes, const VectorsView& x, const VectorsView& y) const;
    // y += image, for all rows of the thread's own streams.
    void add_alone(int thread, const CodeHistory& codes, const VectorsView& y) const;
    // y += image, for the thread's own rows and streams.
    void add(int thread, const CodeHistory& codes, const VectorsView& y) const;
    // Adds 64 rows of a stream's image to out.
    void add_block(const CodeHistory& codes, int stream, int block, float* out) const;

private:
    const Runtime* runtime_ = nullptr;
    int blocks_ = 0, reach_ = 0, fine_levels_ = 1;
    Buffer<float> bias_;
    // For each place, what its code adds: amplitude times a column, and rows of one table or of two.
    Buffer<float> amplitudes_;                // (codes), of scalar codes or of those in two parts
    std::vector<Buffer<float>> columns_;      // (rows), likewise
    std::vector<Buffer<float>> tables_;       // (codes or coarse parts, rows), embedded only
    std::vector<Buffer<float>> fine_tables_;  // (fine parts, rows), embedded codes in two parts only
};

}  // namespace wavewright
