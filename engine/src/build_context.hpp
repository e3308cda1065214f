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

// Learned vectors of codes. That of a code drawn in two parts is the sum of one for each part, and amplitude times
// another, where the amplitude is that of the code in mu-law.
struct Embedding {
    Matrix rows = {};       // (codes, width), or (coarse parts, width)
    Matrix fine = {};       // (fine parts, width), or empty
    Matrix amplitude = {};  // (width, 1), or empty
};

struct BuildContext {
    Runtime& runtime;
    const Weights& weights;
    Precision precision;
    int q_levels;
    int fine_levels = 1;               // a code is coarse part * fine_levels + fine part; 1 where it is drawn at once
    Condition* condition = nullptr;    // null for a model without one
    Prediction* prediction = nullptr;  // likewise

    // A weight of the given shape, where a vector becomes one column. Throws Error if it is missing or of another
    // shape.
    Matrix weight(const std::string& name, int rows, int columns) const;
    Matrix weight(const std::string& name, int rows) const;
    // The vectors of all codes, of the given width.
    Embedding embedding(const std::string& name, int width) const;
    int coarse_levels() const { return q_levels / fine_levels; }
    // One tap of a convolution's weight (rows, columns, taps). Tap 0 is the oldest.
    Matrix tap_weight(const std::string& name, int rows, int columns, int taps, int tap) const;
};

}  // namespace wavewright
