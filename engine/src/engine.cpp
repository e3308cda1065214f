#include "wavewright/engine.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

#include "condition.hpp"
#include "dispatch.hpp"
#include "models.hpp"
#include "random.hpp"
#include "sampler.hpp"

namespace wavewright {
namespace {

int positive(int value, const char* field, int most = 1 << 30) {
    if (value < 1 || value > most)
        throw Error(std::string(field) + ": " + std::to_string(value) + "; give 1 to " + std::to_string(most));
    return value;
}

// From so many streams for each thread, a thread does as well with its own streams as with its own rows.
constexpr int kManyStreams = 8;

// One value for all samples, or one for each.
template <class T>
T at(std::span<const T> curve, std::size_t i) {
    return curve.size() == 1 ? curve[0] : curve[i];
}

template <class T, class Good>
void check(std::span<const T> curve, std::size_t count, const char* field, Good good) {
    if (curve.size() != 1 && curve.size() != count)
        throw Error(std::string(field) + ": " + std::to_string(curve.size()) + " values for " + std::to_string(count) +
                    " samples; give one, or one for each");
    for (T value : curve)
        if (!good(value)) throw Error(std::string(field) + ": " + std::to_string(value) + " is out of range");
}

}  // namespace

struct Engine::Impl {
    const Kernels& kernels;
    Team team;
    int streams, q_levels;
    Runtime runtime;
    std::unique_ptr<Condition> condition;  // null for a model without one
    std::unique_ptr<Network> network;
    std::vector<Sampler> samplers;  // of each thread
    Buffer<Philox> uniforms;        // of each stream
    Buffer<std::uint64_t> clock;    // how many steps were made
    std::vector<std::span<std::byte>> state;
    std::atomic<std::uint64_t> samples_alone{0};

    Impl(const Config& config, const Weights& weights, const Options& options)
        : kernels(wavewright::kernels(options.isa)),
          team(positive(options.threads, "threads", 64)),
          streams(positive(options.streams, "streams", 4096)),
          q_levels(config.size("q_levels")),
          runtime(kernels, team, streams),
          condition(make_condition({runtime, weights, options.precision, q_levels}, config)),
          network(make_network({runtime, weights, options.precision, q_levels, condition.get()}, config)),
          uniforms(streams),
          clock(1),
          state(network->state().begin(), network->state().end()) {
        for (int thread = 0; thread < team.size(); thread++) samplers.emplace_back(kernels, q_levels);
        state.push_back(uniforms.bytes());
        state.push_back(clock.bytes());
        if (condition)
            for (const std::span<std::byte> part : condition->state()) state.push_back(part);
    }

    static std::unique_ptr<Condition> make_condition(const BuildContext& context, const Config& config) {
        return config.fields.contains("condition_hop") ? std::make_unique<Condition>(context, config) : nullptr;
    }

    // Takes the dense features of a call that makes `count` samples.
    void give(std::span<const float> dense, std::size_t count) {
        if (condition)
            condition->give(dense, clock[0], count);
        else if (!dense.empty())
            throw Error("dense: this model was made without a condition; leave it out");
    }

    // Calls step() once for each of `count` samples. Then between(thread, stream, i) pushes a stream's next code.
    template <class Between>
    void play(std::size_t count, bool wanted, Between between) {
        for (std::size_t begin = 0, end = 0; begin < count; begin = end) {
            team.choose(streams >= kManyStreams * team.size());
            end = play_stretch(begin, count, wanted, between);
            if (team.size() > 1 && team.alone()) samples_alone += end - begin;
        }
    }

    // Does so from sample `begin` until the team should choose again. Returns the sample after the last one.
    template <class Between>
    std::size_t play_stretch(std::size_t begin, std::size_t count, bool wanted, Between between) {
        const std::uint64_t start = clock[0];
        std::atomic<std::size_t> end{count};
        team.run([&](int thread) {
            const auto [first, last] = team.items(thread, streams);
            for (std::size_t i = begin; i < end.load(std::memory_order_relaxed); i++) {
                network->step(thread, start + (i - begin), wanted);
                for (int s = first; s < last; s++) between(thread, s, i);
                if (thread == 0 && team.should_choose()) end.store(i + 1, std::memory_order_relaxed);
                team.arrive_and_wait(thread);  // All threads see `end` before they test it.
            }
        });
        clock[0] = start + (end - begin);
        return end;
    }

    std::size_t samples_of(std::size_t codes) const {
        if (codes % streams)
            throw Error("codes: " + std::to_string(codes) + " are no whole number for " + std::to_string(streams) +
                        " streams");
        return codes / streams;
    }

    std::size_t check_codes(std::span<const std::int32_t> codes) const {
        for (std::int32_t code : codes)
            if (code < 0 || code >= q_levels)
                throw Error("codes: " + std::to_string(code) + " is not in 0 to " + std::to_string(q_levels - 1));
        return samples_of(codes.size());
    }
};

Engine::Engine(const Config& config, const Weights& weights, const Options& options)
    : impl_(std::make_unique<Impl>(config, weights, options)) {
    reset(std::vector<std::uint64_t>(2 * static_cast<std::size_t>(impl_->streams)));
}

Engine::~Engine() = default;

int Engine::streams() const { return impl_->streams; }
int Engine::q_levels() const { return impl_->q_levels; }
const char* Engine::isa() const { return impl_->kernels.name; }
std::uint64_t Engine::samples_alone() const { return impl_->samples_alone; }
std::size_t Engine::weight_bytes() const { return static_cast<std::size_t>(impl_->network->read_bytes()); }

void Engine::reset(std::span<const std::uint64_t> keys) {
    Impl& impl = *impl_;
    if (keys.size() != 2 * static_cast<std::size_t>(impl.streams)) throw Error("keys: give two for each stream");
    for (int s = 0; s < impl.streams; s++) {
        impl.uniforms[s] = Philox{{keys[2 * s], keys[2 * s + 1]}};
        for (int i = 0; i < impl.network->past(); i++) impl.network->push_code(s, impl.q_levels / 2);
    }
    impl.clock[0] = 0;
    if (impl.condition) impl.condition->reset();
    impl.team.run_alone([&] { impl.network->reset(); });
}

int Engine::feed(int stream, std::span<const Event> events) {
    if (!impl_->condition) throw Error("events: this model was made without a condition; leave them out");
    if (stream < 0 || stream >= impl_->streams)
        throw Error("stream: " + std::to_string(stream) + "; give 0 to " + std::to_string(impl_->streams - 1));
    return impl_->condition->feed(stream, events);
}

void Engine::prime(std::span<const std::int32_t> codes, std::span<const float> dense) {
    const std::size_t count = impl_->check_codes(codes);
    impl_->give(dense, count);
    impl_->play(count, false, [&](int, int s, std::size_t i) { impl_->network->push_code(s, codes[s * count + i]); });
}

void Engine::logits(std::span<const std::int32_t> codes, std::span<float> logits, std::span<const float> dense) {
    const std::size_t count = impl_->check_codes(codes), levels = impl_->q_levels;
    if (logits.size() != codes.size() * levels) throw Error("logits: no room for those of all codes");
    impl_->give(dense, count);
    impl_->play(count, true, [&](int, int s, std::size_t i) {
        std::copy_n(impl_->network->logits(s), levels, logits.data() + (s * count + i) * levels);
        impl_->network->push_code(s, codes[s * count + i]);
    });
}

void Engine::generate(const Sampling& sampling, std::span<std::int32_t> codes, std::span<const float> dense) {
    Impl& impl = *impl_;
    const std::size_t count = impl.samples_of(codes.size());
    check(sampling.temperature, count, "temperature", [](double t) { return t >= 0 && std::isfinite(t); });
    check(sampling.top_k, count, "top_k", [](int k) { return k >= 1; });
    check(sampling.top_p, count, "top_p", [](double p) { return p > 0 && p <= 1; });
    impl.give(dense, count);
    impl.play(count, true, [&](int thread, int s, std::size_t i) {
        const int code =
            impl.samplers[thread].draw(impl.network->logits(s), impl.uniforms[s].next(), at(sampling.temperature, i),
                                       at(sampling.top_k, i), at(sampling.top_p, i));
        codes[s * count + i] = code;
        impl.network->push_code(s, code);
    });
}

std::size_t Engine::state_size() const {
    std::size_t size = 0;
    for (const auto& part : impl_->state) size += part.size();
    return size;
}

void Engine::save(std::span<std::byte> state) const {
    if (state.size() != state_size())
        throw Error("state: " + std::to_string(state.size()) + " bytes of room, not " + std::to_string(state_size()));
    for (const auto& part : impl_->state) {
        std::copy(part.begin(), part.end(), state.begin());
        state = state.subspan(part.size());
    }
}

void Engine::restore(std::span<const std::byte> state) {
    if (state.size() != state_size())
        throw Error("state: " + std::to_string(state.size()) + " bytes, but this engine's are " +
                    std::to_string(state_size()) + "; it is another model's, or of another number of streams");
    impl_->network->check_codes(state);
    if (impl_->condition) impl_->condition->check(state.last(impl_->condition->state_size()));
    for (const auto& part : impl_->state) {
        std::copy_n(state.begin(), part.size(), part.begin());
        state = state.subspan(part.size());
    }
}

int draw(std::span<const float> logits, double uniform, double temperature, int top_k, double top_p) {
    return Sampler(kernels(""), static_cast<int>(logits.size()))
        .draw(logits.data(), uniform, temperature, top_k, top_p);
}

}  // namespace wavewright
