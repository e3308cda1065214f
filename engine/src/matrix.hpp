// Weights as the kernels need them. They are computed once, from the weights of the torch model.
#pragma once

#include <vector>

#include "buffer.hpp"
#include "kernels.hpp"

namespace wavewright {

// A matrix in float64, row by row. Weights have this form while they are folded into one another.
struct Matrix {
    int rows = 0, columns = 0;
    std::vector<double> values;

    Matrix() = default;
    Matrix(int rows, int columns) : rows(rows), columns(columns), values(std::size_t(rows) * columns) {}
    bool empty() const { return values.empty(); }
    double& operator()(int row, int column) { return values[std::size_t(row) * columns + column]; }
    double operator()(int row, int column) const { return values[std::size_t(row) * columns + column]; }
};

Matrix identity(int size);
Matrix operator*(const Matrix& a, const Matrix& b);
Matrix operator+(Matrix a, const Matrix& b);
Matrix transposed(const Matrix& a);
Matrix rows_of(const Matrix& a, int first, int count);
Matrix columns_of(const Matrix& a, int first, int count);
Matrix vstack(const Matrix& top, const Matrix& bottom);

// What one product with some weights costs.
struct Cost {
    std::size_t multiply_adds = 0, bytes = 0;

    Cost& operator+=(const Cost& other) {
        multiply_adds += other.multiply_adds;
        bytes += other.bytes;
        return *this;
    }
};

// A matrix in blocks of 64 rows. With `groups` gates, whose rows follow one another in the matrix, a block holds
// the same 64 / groups units of every gate. So the thread that sums a block can finish the block's units.
struct PackedMatrix : MatrixView {
    PackedMatrix() = default;
    // A matrix of fewer than 16 columns stays in float32, since reading it costs next to nothing.
    PackedMatrix(const Matrix& matrix, Precision precision, int groups = 1);
    Cost cost() const { return {multiply_adds_, storage_.size()}; }

private:
    std::size_t multiply_adds_ = 0;  // without those of padding
    Buffer<std::byte> storage_;
    Buffer<float> row_scales_;
    Buffer<std::int32_t> row_starts_;
};

// A column, such as a bias, in the order of a packed matrix's rows. The padding is zero.
Buffer<float> pack(const Matrix& column, int groups = 1);

}  // namespace wavewright
