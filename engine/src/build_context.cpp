#include "build_context.hpp"

#include <algorithm>

namespace wavewright {
namespace {

std::string text(const std::vector<std::size_t>& shape) {
    std::string all;
    for (std::size_t size : shape) all += (all.empty() ? "" : ", ") + std::to_string(size);
    return "(" + all + ")";
}

const float* find(const Weights& weights, const std::string& name, const std::vector<std::size_t>& shape) {
    const auto found = weights.find(name);
    if (found == weights.end()) throw Error(name + ": missing from the weights");
    if (found->second.shape != shape)
        throw Error(name + ": shape " + text(found->second.shape) + ", expected " + text(shape));
    return found->second.data;
}

}  // namespace

Matrix BuildContext::weight(const std::string& name, int rows, int columns) const {
    const float* const data = find(weights, name, {std::size_t(rows), std::size_t(columns)});
    Matrix matrix(rows, columns);
    std::copy_n(data, matrix.values.size(), matrix.values.begin());
    return matrix;
}

Matrix BuildContext::weight(const std::string& name, int rows) const {
    const float* const data = find(weights, name, {std::size_t(rows)});
    Matrix column(rows, 1);
    std::copy_n(data, rows, column.values.begin());
    return column;
}

Embedding BuildContext::embedding(const std::string& name, int width) const {
    if (fine_levels == 1) return {weight(name + ".weight", q_levels, width)};
    return {weight(name + ".coarse", coarse_levels(), width), weight(name + ".fine", fine_levels, width),
            weight(name + ".amplitude", width)};
}

Matrix BuildContext::tap_weight(const std::string& name, int rows, int columns, int taps, int tap) const {
    const float* const data = find(weights, name, {std::size_t(rows), std::size_t(columns), std::size_t(taps)});
    Matrix matrix(rows, columns);
    for (std::size_t i = 0; i < matrix.values.size(); i++) matrix.values[i] = data[i * taps + tap];
    return matrix;
}

}  // namespace wavewright
