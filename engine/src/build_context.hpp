// What a network is built from.
#pragma once

#include <string>
#include <vector>

#include "matrix.hpp"
#include "runtime.hpp"
#include "wavewright/engine.hpp"

namespace wavewright {

class Condition;
class Prediction;

struct BuildContext {
    Runtime& runtime;
    const Weights& weights;
    Precision precision;
    int q_levels;
    Condition* condition = nullptr;    // null for a model without one
    Prediction* prediction = nullptr;  // likewise

    // A weight of the given shape, where a vector becomes one column. Throws Error if it is missing or of another
    // shape.
    Matrix weight(const std::string& name, int rows, int columns) const;
    Matrix weight(const std::string& name, int rows) const;
    // One tap of a convolution's weight (rows, columns, taps). Tap 0 is the oldest.
    Matrix tap_weight(const std::string& name, int rows, int columns, int taps, int tap) const;
};

}  // namespace wavewright
