// An LSTM or GRU layer: each thread sums the gates of its own units, all four of them, and finishes the units.
#pragma once

#include "network.hpp"

namespace wavewright {

// The weights of a layer with four gates to a unit: i, f, g, o of an LSTM; of a GRU r, z and the new value's two parts,
// from the input and from the past, which the reset gate keeps apart.
struct Cell {
    static constexpr int kGates = 4;
    Dense input, hidden, bias;

    Cell(const Weights& weights, const std::string& name, int inputs, int units, bool gru);
};

class Recurrent {
public:
    // start: (2 or 1, units), where the hidden values (and an LSTM's cells) begin; empty for zeros.
    Recurrent(const Setting& setting, const Dense& hidden, const Dense& bias, bool gru, const Dense& start);

    const Matrix& matrix() const { return matrix_; }
    std::pair<int, int> own_blocks(int thread) const { return team_.share(thread, matrix_.blocks); }
    float* gates(int stream, int block) {
        return gates_.data() + (std::size_t(stream) * matrix_.blocks + block) * kBlock;
    }
    // Streams lie `stride` apart. Hidden values alternate between two places: one step's `turn` is 0, the next one's 1.
    const float* hidden(int turn) const { return hidden_[turn].data(); }
    std::ptrdiff_t stride() const { return stride_; }

    void begin(int thread);
    // Gates from the bias and the layer's own past.
    void recall(int thread, int turn, Scratch& scratch);
    // Adds an input's part of them.
    void feed(int thread, const Matrix& input, const float* x, std::ptrdiff_t stride, Scratch& scratch);
    // hidden(1 - turn) of the thread's own units.
    void finish(int thread, int turn);

    template <class Visit>
    void each_state(Visit visit) const {
        visit(hidden_[0]), visit(hidden_[1]), visit(cell_);
    }

private:
    const Kernels& kernels_;
    Team& team_;
    int streams_;
    bool gru_;
    Matrix matrix_;
    std::ptrdiff_t stride_;
    Buffer<float> bias_, start_hidden_, start_cell_;
    Buffer<float> hidden_[2], cell_, gates_;
};

}  // namespace wavewright
