// The inner loops. They are compiled once for each set of vector instructions, and chosen when the program runs.
//
// Rows lie in vector lanes. The weights of 64 rows are stored side by side, column after column. Each row is summed
// along its columns in their order. So a row's sum has the same bits at every vector width, and for any number of
// streams and threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "wavewright/precision.hpp"

namespace wavewright {

inline constexpr int kBlock = 64;  // rows

// Inputs of int8 matrices are rounded to codes from -127 to 127, plus 128 where the code must be unsigned.
inline constexpr int kFarthest = 127, kUnsignedMiddle = 128;

// A matrix in blocks of rows. float32 is stored as [block][column][64], bfloat16 as [block][pair of columns][64][2], and
// int8 as [block][four columns][64][4].
struct MatrixView {
    Precision precision = Precision::float32;
    int blocks = 0;
    int columns = 0;
    const std::byte* data = nullptr;
    const float* scales = nullptr;         // of each row, int8 only
    const std::int32_t* starts = nullptr;  // likewise: the sum of the weights, times -kUnsignedMiddle
    std::size_t block_bytes = 0;
};

// Vectors to multiply a matrix with. They are `values` for float32 and bfloat16. A zero follows each vector of an odd
// number of values. For int8 they are `codes` times `scales`. Codes lie around 0 or kUnsignedMiddle, as the instruction set
// wants them. Sums of their products begin with `starts`, or with those of the matrix for unsigned codes.
struct Operand {
    const float* values;
    const std::uint8_t* codes;
    const float* scales;
    const std::int32_t* starts;
    std::ptrdiff_t stride;
};

// Complex diagonal recurrences of so many modes for each channel. Each mode has six rows of constants, `stride` apart:
// the real and the imaginary part of lambda, what those lack of float64, and the parts of the mode's weight. A state
// has two rows for each mode.
struct DiagonalView {
    static constexpr int kRows = 6;
    int modes = 0;
    std::ptrdiff_t stride = 0;
    const float* constants = nullptr;
    const float* direct = nullptr;  // the input's own weight in the output
};

struct Kernels {
    const char* name;
    // out[s][0..63] += block of the matrix * x[s]
    void (*product)(const MatrixView& matrix, int block, const Operand& x, int streams, float* out,
                    std::ptrdiff_t stride);
    // Rounds x to codes with a start for sums, and returns the scale.
    float (*quantise)(const float* x, int count, std::uint8_t* codes, std::int32_t* start);
    // Computes 16 units from the gates [i f g o][16].
    void (*lstm)(const float* gates, float* cell, float* hidden);
    // Computes 16 units from the gates [r z n(input) n(hidden)][16].
    void (*gru)(const float* gates, const float* before, float* hidden);
    // z = tanh(pre[0..31]) * sigmoid(pre[32..63])
    void (*gate)(const float* pre, float* z);
    // x += pre[0..31] * sigmoid(pre[32..63])
    void (*glu)(const float* pre, float* x);
    // x = x * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
    void (*gelu)(float* x, int count);
    // y = x / sqrt(mean of squares of the first `size` elements + 1e-5). Zeros follow those, up to a multiple of 16.
    void (*normalise)(const float* x, int size, int count, float* y);
    // state = lambda * state + u and y = Re(weights * state) + direct * u, for the channels [first, last), which are
    // multiples of 16.
    void (*diagonal)(const DiagonalView& view, int first, int last, const float* u, float* state, float* y);
    void (*add)(float* to, const float* from, int count);
    void (*add_scaled)(float* to, const float* from, float factor, int count);
    void (*relu)(float* to, const float* from, int count);
    // weights = exp((logits - greatest) / temperature) in float64. Returns the index of the greatest logit.
    int (*weigh)(const float* logits, int count, double temperature, double* weights);
    // Returns the sum of exp(logits - greatest) in float64, where `greatest` receives the greatest logit.
    double (*sum_exponentials)(const float* logits, int count, float* greatest);
    // e^x in float64, for x <= 0.
    double (*exponential)(double x);
    // Reads the bytes, for measure_limits.
    float (*read)(const std::byte* data, std::size_t bytes);
    // Do so many multiply-adds, for measure_limits.
    float (*multiply_add)(std::size_t count);
    float (*multiply_add_int8)(std::size_t count);
};

const Kernels* scalar_kernels();
const Kernels* avx2_kernels();
const Kernels* avxvnni_kernels();
const Kernels* avx512_kernels();
const Kernels* avx512vnni_kernels();
const Kernels* neon_kernels();

}  // namespace wavewright
