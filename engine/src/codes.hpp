// Codes as the input of a network.
#pragma once

#include <vector>

#include "build_context.hpp"

namespace wavewright {

// The codes that vectors (steps, streams) look back at, and how far apart those of two steps, of two streams and of two
// places are.
struct CodesView {
    const int* newest;  // of the first vector
    int streams;
    std::ptrdiff_t step, stream, place;

    const int* newest_of(int vector) const { return newest + vector / streams * step + vector % streams * stream; }
    // From a step on, every so many steps.
    CodesView from(int first, int every = 1) const { return {newest + first * step, streams, every * step, stream, place}; }
};

// The last codes of every stream.
class CodeHistory {
public:
    // samples: the most of a stretch.
    CodeHistory(int streams, int length, int samples);

    int length() const { return length_; }
    void push(int stream, int code);
    // Lays out the codes of a stream for a stretch: its past, and the coming ones that are known.
    void lay_out(int stream, const std::int32_t* coming, int count);
    // What the vectors of so many samples look back at. Those of several were laid out.
    CodesView view(int samples) const;
    std::span<std::byte> bytes() const { return codes_.bytes(); }

private:
    int streams_, length_;
    Buffer<int> codes_;     // (streams, length)
    Buffer<int> laid_out_;  // (length + samples - 1, streams)
};

// The amplitude of a code in mu-law, as quantize.py decodes it.
double mu_law(int code, int levels);

struct CodeImageOptions {
    Matrix bias = {};          // empty for zeros
    Embedding embedding = {};  // empty for scalar codes
    float scale = 1;           // scalar codes are amplitudes in (-scale, scale)
    int groups = 1;            // see PackedMatrix
};

// A linear image of the codes that a vector looks back at. Scalar codes are amplitudes, embedded codes are learned vectors.
class CodeImage {
public:
    CodeImage() = default;
    // The weight is (rows, codes that it reaches back), or (rows, that many times the embedding's width).
    CodeImage(const BuildContext& context, const Matrix& weight, const CodeImageOptions& options);
    // Each place has an embedding of its own, (its codes, width), and the weight is (rows, width).
    CodeImage(const BuildContext& context, const Matrix& weight, const std::vector<Matrix>& embeddings, int groups = 1);

    // y = bias + image, for all rows of the thread's own streams.
    void apply_alone(int thread, const CodesView& codes, const VectorsView& y) const;
    // y = x + image, for the thread's own rows and streams. x begins anew where it is shorter than y.
    void apply(int thread, const CodesView& codes, const VectorsView& x, const VectorsView& y) const;
    // y += image, for all rows of the thread's own streams.
    void add_alone(int thread, const CodesView& codes, const VectorsView& y) const;
    // y += image, for the thread's own rows and streams.
    void add(int thread, const CodesView& codes, const VectorsView& y) const;
    // Adds 64 rows of a vector's image to out.
    void add_block(const CodesView& codes, int vector, int block, float* out) const;

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
