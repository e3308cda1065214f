// The engine plays a trained model sample by sample, for one stream or many, on one thread or several.
//
// After construction nothing on the generating path allocates, locks or calls the system. In float32 a stream has the
// same bits for any number of streams and threads, any length of blocks and any vector instructions but WebAssembly's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "wavewright/config.hpp"
#include "wavewright/precision.hpp"

namespace wavewright {

// A weight of the torch model, float32 in C order. The engine reads it during construction only.
struct Tensor {
    const float* data;
    std::vector<std::size_t> shape;
};
using Weights = std::map<std::string, Tensor, std::less<>>;

// A trained model, which is read during construction only.
struct Source {
    const Config& config;
    const Weights& weights;
    Precision precision = Precision::float32;
};

// How codes are drawn. sampling.py defines each setting. A span holds one value for all samples, or one for each.
struct Sampling {
    std::span<const double> temperature;  // 0: the likeliest code
    std::span<const int> top_k;           // q_levels: all; of each draw, where a code is drawn in two parts
    std::span<const double> top_p;        // 1: all
    std::span<const double> amount = {};  // of the second voice; empty for an engine of one voice
};

enum class EventKind : std::int32_t { release, strike, pedal };

// What happens on a keyboard.
struct Event {
    std::int64_t sample;  // counted from the stream's start
    EventKind kind;
    std::uint16_t key, value;  // MIDI's key, and its velocity or the pedal's position, each 0 to 127
};

// What one sample of one stream costs on average. It reads a weight once where it multiplies it with several vectors.
struct Work {
    double multiply_adds = 0;  // of matrices and recurrences
    double bytes_read = 0;     // of weights
    double bytes = 0;          // of all weights, which are read in turn

    Work& operator+=(const Work& other) {
        multiply_adds += other.multiply_adds;
        bytes_read += other.bytes_read;
        bytes += other.bytes;
        return *this;
    }
};

// A model with a condition takes control frames, each of which holds for some samples. The frame of a sample is its
// number, counted from the stream's start, over that hop. A frame has the features of each control in turn, and a flag
// for each control that says it is absent. A keyboard's own features come from its events. The features of all other
// controls, and all flags, are dense: the caller gives their values (streams, frames, dense) for each frame that begins
// within a call, or one frame that holds from the next that begins on. The last frame given holds until another is. At
// a stream's start, every control is absent.
//
// An engine has one or two voices, each a model with a condition of its own. Two voices read the same codes. With
// logits l of the first and m of the second, a code is drawn from the softmax of (1 - amount) l + amount m, which is
// summed in double.
class Engine {
public:
    struct Options {
        int streams = 1;
        std::optional<int> threads = 1;  // none: two where that plays one stream faster
        std::string isa = {};  // one of instruction_sets(), or empty for the best
    };

    // Throws Error for an unknown model, a missing field or weight, a wrong shape, an option out of range, another
    // number of sources than one or two, or two of another number of codes.
    Engine(const std::vector<Source>& voices, const Options& options);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    int streams() const;
    int q_levels() const;
    const char* isa() const;
    int threads() const;
    Work work() const;  // of all voices
    // Samples of each stream that one of several threads made alone, where that was faster.
    std::uint64_t samples_alone() const;

    // Sets all streams to the state after endless silence, with Philox keys (streams, 2) for their draws.
    void reset(std::span<const std::uint64_t> keys);
    // Lets events of a stream's keyboard wait for their frames. An event of an earlier frame counts from the next frame
    // on, with its true age. Where there is no room, the oldest strikes are dropped, and their number is returned.
    int feed(int stream, std::span<const Event> events, int voice = 0);
    // Advances the streams with the given codes (streams, n). dense, second: dense features of the first voice and of
    // the second.
    void prime(std::span<const std::int32_t> codes, std::span<const float> dense = {},
               std::span<const float> second = {});
    // Advances an engine of one voice likewise, and writes the logits (streams, n, q_levels) from which each code would
    // have been drawn. Of a model that draws a code in two parts, they are those of both draws, one behind the other.
    void logits(std::span<const std::int32_t> codes, std::span<float> logits, std::span<const float> dense = {});
    // Advances an engine of one voice likewise, and writes the nats (streams, n) of each code.
    void score(std::span<const std::int32_t> codes, std::span<double> nats, std::span<const float> dense = {});
    // Draws new codes (streams, n).
    void generate(const Sampling& sampling, std::span<std::int32_t> codes, std::span<const float> dense = {},
                  std::span<const float> second = {});

    // The whole state of all streams, as bytes.
    std::size_t state_size() const;
    void save(std::span<std::byte> state) const;
    void restore(std::span<const std::byte> state);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// The vector instruction sets that this machine can run, the best first. "scalar" is always the last.
std::vector<std::string> instruction_sets();

// Draws a code from logits and a uniform number in [0, 1), as sampling.py does.
int draw(std::span<const float> logits, double uniform, double temperature, int top_k, double top_p);

// Measures the best that this machine can do with so many threads and an instruction set. It reads `bytes` of memory
// over and over, and counts multiply-adds of float32 and of int8, each as the products of matrices make them.
struct Limits {
    double bytes_per_second;
    double multiply_adds_per_second;
    double integer_multiply_adds_per_second;
};
Limits measure_limits(std::size_t bytes, int threads, const std::string& isa = {});

}  // namespace wavewright
