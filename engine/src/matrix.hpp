// Weights as the kernels want them, made once from those of the torch model.
#pragma once

#include <string>
#include <vector>

#include "buffer.hpp"
#include "kernels.hpp"
#include "wavewright/engine.hpp"

namespace wavewright {

// A matrix in float64, row after row: what weights are while they are folded into one another.
struct Dense {
    int rows = 0, columns = 0;
    std::vector<double> values;

    Dense() = default;
    Dense(int rows, int columns) : rows(rows), columns(columns), values(std::size_t(rows) * columns) {}
    double& operator()(int row, int column) { return values[std::size_t(row) * columns + column]; }
    double operator()(int row, int column) const { return values[std::size_t(row) * columns + column]; }
};

Dense identity(int size);
Dense operator*(const Dense& a, const Dense& b);
Dense operator+(Dense a, const Dense& b);
Dense rows_of(const Dense& a, int first, int count);
Dense columns_of(const Dense& a, int first, int count);
Dense below(const Dense& a, const Dense& b);  // a above b

// A weight of the given shape, (rows, columns) or (rows) as one column; Error where it is another.
Dense take(const Weights& weights, const std::string& name, int rows, int columns);
Dense take(const Weights& weights, const std::string& name, int rows);
// One tap of a convolution's weight (rows, columns, taps).
Dense take_tap(const Weights& weights, const std::string& name, int rows, int columns, int taps, int tap);

// Rows of a dense matrix in blocks of 64. With `groups` gates (the rows of one after those of another) a block holds
// the same 64 / groups units of each gate, so that a thread that has summed a block can finish its units.
struct Matrix : MatrixView {
    Matrix() = default;
    // Matrices of fewer than 16 columns are stored in float32 whatever the precision: they cost nothing.
    Matrix(const Dense& dense, Precision precision, int groups = 1);
    std::size_t bytes() const { return storage_.size(); }

private:
    Buffer<std::byte> storage_;
    Buffer<float> row_scales_;
};

// A column (a bias) in the same order of rows, padded with zeros.
Buffer<float> pack(const Dense& column, int groups = 1);

// Vectors are padded to whole blocks.
inline int padded(int count) { return (count + kBlock - 1) / kBlock * kBlock; }

// Room for the int8 form of what a thread multiplies with.
struct Scratch {
    Buffer<std::int16_t> codes;
    Buffer<float> scales;
    Scratch(int vectors, int width) : codes(std::size_t(vectors) * padded(width)), scales(vectors) {}
};

// `streams` vectors, `stride` apart, as the matrix wants them.
Operand operand(const Kernels& kernels, const MatrixView& matrix, const float* x, std::ptrdiff_t stride, int streams,
                Scratch& scratch);

}  // namespace wavewright
