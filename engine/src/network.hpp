// What all models have in common. All threads of a team turn the past codes of every stream into logits.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "codes.hpp"
#include "condition.hpp"
#include "dense.hpp"
#include "fine_output.hpp"
#include "prediction.hpp"

namespace wavewright {

class Network {
public:
    // past: how many codes of each stream the network looks back at.
    Network(const BuildContext& context, int past);
    virtual ~Network() = default;

    // Puts all streams into the state that endless silence leaves. The past codes are silence already. The caller of
    // the team works alone meanwhile.
    virtual void reset() = 0;
    // Computes the logits of the next code from the past codes. Without `wanted`, only the state goes on. Every thread
    // of the team calls step, with its number. When step returns, the thread can read the logits of its items of the
    // streams (Team::items). clock: how many steps were made before.
    void step(int thread, std::uint64_t clock, bool wanted) {
        if (condition_ && clock % condition_->hop() == 0) begin_frame(thread, clock);
        predict(thread, clock, wanted);
    }

    // One thread pushes a stream's next code, between two steps.
    void push_code(int stream, int code) {
        past_codes_.push(stream, code);
        if (prediction_) prediction_->hear(stream, code);
    }
    int past() const { return past_codes_.length(); }
    // The logits of all codes, or of the coarse parts.
    const float* logits(int stream) const {
        return prediction_ ? prediction_->logits(stream, outputs_[stream]) : outputs_[stream];
    }
    // Those of the fine part of a code drawn in two parts, once its coarse part is known. See FineOutput.
    const float* fine_logits(int thread, int stream, int coarse) const {
        return fine_->logits(thread, outputs_[stream] + coarse_levels_, coarse);
    }
    std::span<const std::span<std::byte>> state() const { return state_; }
    // Throws Error where a saved state, which begins with the past codes, holds one that is no code. Codes are indices.
    void check_codes(std::span<const std::byte> state) const;
    const Work& work() const { return work_; }

protected:
    // Does what step does, when what enters by the condition is held.
    virtual void predict(int thread, std::uint64_t clock, bool wanted) = 0;

    // Adds a place where the condition enters by a matrix (rows, width). Returns the product of that matrix and the
    // encoded frame, for each stream. It lasts as long as the frame, and is packed as a layer of so many groups.
    VectorsView add_entry(const BuildContext& context, const Matrix& weight, int groups = 1);
    // Adds memory to the state that an engine saves.
    void add_state(const std::vector<std::span<std::byte>>& parts);
    // Adds weights that a step multiplies so many times on average, and reads as often, or `reads` times.
    void add_work(const Cost& cost, double uses = 1) { add_work(cost, uses, uses); }
    void add_work(const Cost& cost, double uses, double reads);

    const Runtime& runtime_;
    Team& team_;
    const int streams_, q_levels_;
    Condition* const condition_;    // null for a model without one
    Prediction* const prediction_;  // likewise
    CodeHistory past_codes_;
    const int output_count_;  // logits, or what Prediction::logits takes, or coarse logits and what FineOutput takes
    Vectors outputs_;

private:
    struct Entry {
        Dense matrix;
        Vectors held;
    };

    // Encodes the frame that begins. When it returns, the thread can read what enters its streams (Team::streams).
    void begin_frame(int thread, std::uint64_t clock);

    const int coarse_levels_;
    std::unique_ptr<const FineOutput> fine_;  // null where a code is drawn at once
    std::vector<Entry> entries_;
    std::vector<std::span<std::byte>> state_;
    Work work_;
};

}  // namespace wavewright
