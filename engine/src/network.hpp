// What the three models have in common: streams that hear codes and give logits, computed by all threads of a team.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "matrix.hpp"
#include "team.hpp"

namespace wavewright {

struct Setting {
    const Kernels& kernels;
    Team& team;
    const Weights& weights;
    Precision precision;
    int streams;
    int q_levels;
};

class Network {
public:
    // past: how many codes are remembered. The scratch of a thread has room for `vectors` of `width`.
    Network(const Setting& setting, int past, int vectors, int width);
    virtual ~Network() = default;

    // These two are called by every thread of the team with its number.
    // Streams have heard nothing but silence.
    virtual void begin(int thread) = 0;
    // From the codes heard to the logits of the next, which all threads can read when it returns; unless they are not
    // `wanted`. clock: how many steps were made before.
    virtual void step(int thread, std::uint64_t clock, bool wanted) = 0;
    int past() const { return past_; }
    // A stream hears a code. One thread does so, between steps.
    void hear(int stream, int code);

    const float* logits(int stream) const { return logits_.data() + stream * logits_stride(); }
    std::span<const std::span<std::byte>> state() const { return state_; }
    double weight_bytes() const { return weight_bytes_; }

protected:
    // The last `count` codes that a stream heard, oldest first.
    const int* heard(int stream, int count) const { return heard_.data() + (stream + 1) * past_ - count; }
    std::ptrdiff_t logits_stride() const { return padded(q_levels_); }
    // To be saved with the state.
    template <class T>
    void remember(const Buffer<T>& buffer) {
        state_.push_back(buffer.bytes());
    }
    // A step reads `share` of the matrix on average.
    void count(const Matrix& matrix, double share = 1) { weight_bytes_ += share * static_cast<double>(matrix.bytes()); }

    const Kernels& kernels_;
    Team& team_;
    const int streams_, q_levels_, past_;
    Buffer<float> logits_;
    std::vector<Scratch> scratch_;  // of each thread

private:
    Buffer<int> heard_;
    std::vector<std::span<std::byte>> state_;
    double weight_bytes_ = 0;
};

// The linear image of a stream's last codes: of their amplitudes times `scale`, or of a learned vector for each.
class CodeImage {
public:
    CodeImage() = default;
    // weight: (rows, reach) over amplitudes, or (rows, reach * embedding columns) over embedded codes.
    CodeImage(const Setting& setting, const Dense& weight, int reach, const Dense* embedding, float scale, int groups);

    // Adds block `block` of the image of `codes` (the last `reach` of them, oldest first) to out[0..63].
    void add(const Kernels& kernels, const int* codes, int block, float* out) const;
    int blocks() const { return blocks_; }

private:
    int blocks_ = 0, reach_ = 0;
    Buffer<float> amplitudes_;            // of each code, times scale
    std::vector<Buffer<float>> columns_;  // scalar: of each place, (rows)
    std::vector<Buffer<float>> tables_;   // embedded: of each place, (codes, rows)
};

// y = W x + b for all streams.
struct Affine {
    Matrix matrix;
    Buffer<float> bias;

    Affine() = default;
    Affine(const Dense& weight, const Dense& bias, Precision precision) : matrix(weight, precision), bias(pack(bias)) {}
    // The rows of `block` for each stream, to out[s * to + 64 * block ...].
    void apply(const Kernels& kernels, int block, const Operand& x, int streams, float* out, std::ptrdiff_t to) const;
};

}  // namespace wavewright
