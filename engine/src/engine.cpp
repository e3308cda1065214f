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

// Multiply-adds a sample from which two threads play a stream faster than one, since meeting costs time too.
constexpr double kWorthSharing = 300'000;

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

// A model that plays, and what it is given.
struct Voice {
    std::unique_ptr<Condition> condition;    // null for a model without one
    std::unique_ptr<Prediction> prediction;  // likewise
    std::unique_ptr<Network> network;

    Voice(Runtime& runtime, const Source& source, int q_levels, int fine_levels) {
        BuildContext context{runtime, source.weights, source.precision, q_levels, fine_levels};
        if (source.config.fields.contains("condition_hop"))
            condition = std::make_unique<Condition>(context, source.config);
        context.condition = condition.get();
        if (source.config.fields.contains("prediction_order") && fine_levels > 1)
            throw Error("split: a model with prediction draws a code in one part");
        if (source.config.fields.contains("prediction_order"))
            prediction = std::make_unique<Prediction>(source.config, runtime,
                                                      condition ? condition->features_count() : 0);
        context.prediction = prediction.get();
        network = make_network(context, source.config);
    }

    std::vector<std::span<std::byte>> state() const {
        std::vector<std::span<std::byte>> parts(network->state().begin(), network->state().end());
        if (condition)
            for (const std::span<std::byte> part : condition->state()) parts.push_back(part);
        if (prediction) parts.push_back(prediction->state());
        return parts;
    }

    // Throws Error where a saved state is damaged.
    void check(std::span<const std::byte> state) const {
        network->check_codes(state);
        if (prediction) {
            const std::size_t size = prediction->state().size();
            prediction->check(state.last(size));
            state = state.first(state.size() - size);
        }
        if (condition) condition->check(state.last(condition->state_size()));
    }

    void check_dense(std::span<const float> dense, std::uint64_t clock, std::size_t count) const {
        if (condition) return condition->check_dense(dense, clock, count);
        if (!dense.empty()) throw Error("dense: this model was made without a condition; leave it out");
    }
};

// The number of fine parts of a model's codes, 1 where they are drawn at once.
int fine_levels_of(const Config& config) {
    if (!config.fields.contains("split") || !config.flag("split")) return 1;
    const int levels = config.size("q_levels"), root = static_cast<int>(std::lround(std::sqrt(levels)));
    if (root * root != levels || levels == 1)
        throw Error("q_levels: " + std::to_string(levels) + "; with split, give a square");
    return root;
}

void mix(const float* first, const float* second, double amount, float* sum, int count) {
    for (int i = 0; i < count; i++) sum[i] = static_cast<float>((1 - amount) * first[i] + amount * second[i]);
}

std::size_t size_of(const std::vector<std::span<std::byte>>& parts) {
    std::size_t size = 0;
    for (const auto& part : parts) size += part.size();
    return size;
}

}  // namespace

struct Engine::Impl {
    const Kernels& kernels;
    Team team;
    int streams, q_levels, fine_levels, coarse_levels;
    Runtime runtime;
    std::vector<Voice> voices;         // one or two
    std::vector<Sampler> samplers;     // of each thread
    std::vector<Buffer<float>> mixed;  // logits of two voices, of each thread
    Buffer<Philox> uniforms;           // of each stream
    Buffer<std::uint64_t> clock;       // how many steps were made
    std::vector<std::span<std::byte>> state;
    std::atomic<std::uint64_t> samples_alone{0};

    Impl(const std::vector<Source>& sources, const Options& options)
        : kernels(wavewright::kernels(options.isa)),
          team(options.threads ? positive(*options.threads, "threads", 64) : most_threads()),
          streams(positive(options.streams, "streams", 4096)),
          q_levels(common_levels(sources)),
          fine_levels(fine_levels_of(sources.front().config)),
          coarse_levels(q_levels / fine_levels),
          runtime(kernels, team, streams),
          uniforms(streams),
          clock(1),
          state{uniforms.bytes(), clock.bytes()} {
        for (const Source& source : sources) voices.emplace_back(runtime, source, q_levels, fine_levels);
        for (int thread = 0; thread < team.size(); thread++) {
            samplers.emplace_back(kernels, std::max(coarse_levels, fine_levels));
            if (voices.size() > 1) mixed.emplace_back(std::max(coarse_levels, fine_levels));
        }
        for (const Voice& voice : voices)
            for (const std::span<std::byte> part : voice.state()) state.push_back(part);
        if (!options.threads && work().multiply_adds < kWorthSharing) team.dismiss();
    }

    static int most_threads() { return cores() > 1 ? 2 : 1; }

    Work work() const {
        Work all;
        for (const Voice& voice : voices) all += voice.network->work();
        return all;
    }

    static int common_levels(const std::vector<Source>& sources) {
        if (sources.empty() || sources.size() > 2)
            throw Error("voices: " + std::to_string(sources.size()) + "; give 1 or 2");
        const int levels = sources.front().config.size("q_levels"), others = sources.back().config.size("q_levels");
        if (levels != others)
            throw Error("q_levels: " + std::to_string(levels) + " and " + std::to_string(others) +
                        "; two voices have the same number of codes");
        if (fine_levels_of(sources.front().config) != fine_levels_of(sources.back().config))
            throw Error("split: two voices draw a code alike");
        return levels;
    }

    // Takes the dense features of each voice for a call that makes `count` samples.
    void give(std::span<const float> first, std::span<const float> second, std::size_t count) {
        if (voices.size() == 1 && !second.empty()) throw Error("second: there is one voice; leave it out");
        const std::span<const float> dense[] = {first, second};
        for (std::size_t i = 0; i < voices.size(); i++) voices[i].check_dense(dense[i], clock[0], count);
        for (std::size_t i = 0; i < voices.size(); i++)
            if (voices[i].condition) voices[i].condition->give(dense[i], clock[0]);
    }

    void push_codes(int stream, const std::int32_t* codes, int count) {
        for (const Voice& voice : voices) voice.network->push_codes(stream, codes, count);
    }

    // The logits of a vector's code, after a step that wanted them. Of a code drawn in two parts, they are those of the
    // coarse part.
    const float* logits(int thread, int vector, std::span<const double> amount, std::size_t i) const {
        return of_voices(thread, amount, i, coarse_levels,
                         [&](const Voice& voice) { return voice.network->logits(thread, vector); });
    }

    // Those of its fine part, once its coarse part is known.
    const float* fine_logits(int thread, int vector, int coarse, std::span<const double> amount, std::size_t i) const {
        return of_voices(thread, amount, i, fine_levels,
                         [&](const Voice& voice) { return voice.network->fine_logits(thread, vector, coarse); });
    }

    // The nats of a vector's code.
    double nats(int thread, int vector, int code) const {
        const auto of = [&](const float* logits, int levels, int own) {
            float greatest;
            const double sum = kernels.sum_exponentials(logits, levels, &greatest);
            return std::log(sum) + (static_cast<double>(greatest) - static_cast<double>(logits[own]));
        };
        const int coarse = code / fine_levels;
        const double nats = of(logits(thread, vector, {}, 0), coarse_levels, coarse);
        if (fine_levels == 1) return nats;
        return nats + of(fine_logits(thread, vector, coarse, {}, 0), fine_levels, code % fine_levels);
    }

    template <class LogitsOf>
    const float* of_voices(int thread, std::span<const double> amount, std::size_t i, int count,
                           LogitsOf logits_of) const {
        const float* const first = logits_of(voices[0]);
        if (voices.size() == 1) return first;
        float* const sum = mixed[thread].data();
        mix(first, logits_of(voices[1]), at(amount, i), sum, count);
        return sum;
    }

    int draw(int thread, int stream, const Sampling& sampling, std::size_t i) {
        const auto drawn = [&](const float* logits, int levels) {
            return samplers[thread].draw(logits, levels, uniforms[stream].next(), at(sampling.temperature, i),
                                         at(sampling.top_k, i), at(sampling.top_p, i));
        };
        const int coarse = drawn(logits(thread, stream, sampling.amount, i), coarse_levels);
        if (fine_levels == 1) return coarse;
        return coarse * fine_levels + drawn(fine_logits(thread, stream, coarse, sampling.amount, i), fine_levels);
    }

    // Computes `count` samples in stretches, which are single samples where their codes are not known. After each stretch,
    // pushed(thread, stretch, i) pushes the codes of the thread's own streams. i is the number of its first sample.
    template <class Pushed>
    void play(std::size_t count, const KnownCodes* known, bool wanted, Pushed pushed) {
        const int most = known ? runtime.samples : 1;
        for (std::size_t begin = 0, end = 0; begin < count; begin = end) {
            // The vectors of a thread's own streams lie behind one another only within a sample.
            const bool many = most == 1 && streams >= kManyStreams * team.size();
            team.choose(many ? Team::Kind::many_streams : known ? Team::Kind::reading : Team::Kind::sharing);
            end = play_some(begin, count, most, known ? *known : KnownCodes{}, wanted, pushed);
            if (team.apart()) team.played(end - begin);
            if (team.size() > 1 && team.alone()) samples_alone += end - begin;
        }
    }

    // Does so from sample `begin` until the team should choose again. Returns the sample after the last one.
    template <class Pushed>
    std::size_t play_some(std::size_t begin, std::size_t count, int most, const KnownCodes& known, bool wanted,
                          Pushed pushed) {
        const std::uint64_t start = clock[0];
        std::atomic<std::size_t> end{count};
        team.run([&](int thread) {
            for (std::size_t i = begin; i < end.load(std::memory_order_relaxed);) {
                Stretch stretch{start + (i - begin), static_cast<int>(std::min<std::size_t>(most, count - i))};
                if (most == 1) {
                    stretch.coming = count - i - 1;
                    stretch.first = i == begin;
                }
                for (const Voice& voice : voices)
                    stretch.samples = voice.network->stretch(stretch.clock, stretch.samples);
                for (const Voice& voice : voices) voice.network->step(thread, stretch, known.from(i), wanted);
                pushed(thread, stretch, i);
                i += stretch.samples;
                if (thread == 0 && !team.apart() && team.played(stretch.samples))
                    end.store(i, std::memory_order_relaxed);
                team.arrive_and_wait(thread);  // All threads see `end` before they test it.
            }
        });
        clock[0] = start + (end - begin);
        return end;
    }

    // Advances the streams by known codes. With `wanted`, each(thread, vector, place) is called for each of them while its
    // logits are there.
    template <class Each>
    void read(std::span<const std::int32_t> codes, std::size_t count, bool wanted, Each each) {
        const KnownCodes known{codes.data(), count};
        play(count, &known, wanted, [&](int thread, const Stretch& stretch, std::size_t i) {
            if (wanted) {
                const auto [first, last] = team.items(thread, stretch.samples * streams);
                for (int vector = first; vector < last; vector++)
                    each(thread, vector, vector % streams * count + i + vector / streams);
                if (stretch.samples > 1) team.arrive_and_wait(thread);  // Codes of one thread may be pushed by another.
            }
            const auto [first, last] = team.items(thread, streams);
            for (int s = first; s < last; s++) push_codes(s, known.from(i).of(s), stretch.samples);
        });
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

Engine::Engine(const std::vector<Source>& voices, const Options& options)
    : impl_(std::make_unique<Impl>(voices, options)) {
    reset(std::vector<std::uint64_t>(2 * static_cast<std::size_t>(impl_->streams)));
}

Engine::~Engine() = default;

int Engine::streams() const { return impl_->streams; }
int Engine::q_levels() const { return impl_->q_levels; }
const char* Engine::isa() const { return impl_->kernels.name; }
std::uint64_t Engine::samples_alone() const { return impl_->samples_alone; }

int Engine::threads() const { return impl_->team.size(); }
Work Engine::work() const { return impl_->work(); }

void Engine::reset(std::span<const std::uint64_t> keys) {
    Impl& impl = *impl_;
    if (keys.size() != 2 * static_cast<std::size_t>(impl.streams)) throw Error("keys: give two for each stream");
    for (int s = 0; s < impl.streams; s++) impl.uniforms[s] = Philox{{keys[2 * s], keys[2 * s + 1]}};
    impl.clock[0] = 0;
    const std::int32_t silence = impl.q_levels / 2;
    for (const Voice& voice : impl.voices) {
        for (int s = 0; s < impl.streams; s++)
            for (int i = 0; i < voice.network->past(); i++) voice.network->push_codes(s, &silence, 1);
        if (voice.condition) voice.condition->reset();
        if (voice.prediction) voice.prediction->reset();
        impl.team.run_alone([&] { voice.network->reset(); });
    }
}

int Engine::feed(int stream, std::span<const Event> events, int voice) {
    const int voices = static_cast<int>(impl_->voices.size());
    if (voice < 0 || voice >= voices)
        throw Error("voice: " + std::to_string(voice) + "; give 0 to " + std::to_string(voices - 1));
    Condition* const condition = impl_->voices[voice].condition.get();
    if (!condition) throw Error("events: this model was made without a condition; leave them out");
    if (stream < 0 || stream >= impl_->streams)
        throw Error("stream: " + std::to_string(stream) + "; give 0 to " + std::to_string(impl_->streams - 1));
    return condition->feed(stream, events);
}

void Engine::prime(std::span<const std::int32_t> codes, std::span<const float> dense, std::span<const float> second) {
    const std::size_t count = impl_->check_codes(codes);
    impl_->give(dense, second, count);
    impl_->read(codes, count, false, [](int, int, std::size_t) {});
}

void Engine::logits(std::span<const std::int32_t> codes, std::span<float> logits, std::span<const float> dense) {
    const std::size_t count = impl_->check_codes(codes);
    const int coarse = impl_->coarse_levels, fine = impl_->fine_levels, levels = fine > 1 ? coarse + fine : coarse;
    if (impl_->voices.size() > 1) throw Error("logits: there are two voices; make an engine of each");
    if (logits.size() != codes.size() * levels) throw Error("logits: no room for those of all codes");
    impl_->give(dense, {}, count);
    impl_->read(codes, count, true, [&](int thread, int vector, std::size_t place) {
        float* const own = logits.data() + place * levels;
        std::copy_n(impl_->logits(thread, vector, {}, 0), coarse, own);
        if (fine > 1) std::copy_n(impl_->fine_logits(thread, vector, codes[place] / fine, {}, 0), fine, own + coarse);
    });
}

void Engine::score(std::span<const std::int32_t> codes, std::span<double> nats, std::span<const float> dense) {
    const std::size_t count = impl_->check_codes(codes);
    if (impl_->voices.size() > 1) throw Error("score: there are two voices; make an engine of each");
    if (nats.size() != codes.size()) throw Error("nats: no room for those of all codes");
    impl_->give(dense, {}, count);
    impl_->read(codes, count, true, [&](int thread, int vector, std::size_t place) {
        nats[place] = impl_->nats(thread, vector, codes[place]);
    });
}

void Engine::generate(const Sampling& sampling, std::span<std::int32_t> codes, std::span<const float> dense,
                      std::span<const float> second) {
    Impl& impl = *impl_;
    const std::size_t count = impl.samples_of(codes.size());
    check(sampling.temperature, count, "temperature", [](double t) { return t >= 0 && std::isfinite(t); });
    check(sampling.top_k, count, "top_k", [](int k) { return k >= 1; });
    check(sampling.top_p, count, "top_p", [](double p) { return p > 0 && p <= 1; });
    if (impl.voices.size() > 1)
        check(sampling.amount, count, "amount", [](double a) { return std::isfinite(a); });
    else if (!sampling.amount.empty())
        throw Error("amount: there is one voice; leave it out");
    impl.give(dense, second, count);
    impl.play(count, nullptr, true, [&](int thread, const Stretch&, std::size_t i) {
        const auto [first, last] = impl.team.items(thread, impl.streams);
        for (int s = first; s < last; s++) {
            std::int32_t& code = codes[s * count + i];
            code = impl.draw(thread, s, sampling, i);
            impl.push_codes(s, &code, 1);
        }
    });
}

std::size_t Engine::state_size() const { return size_of(impl_->state); }

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
    std::size_t place = impl_->uniforms.bytes().size() + impl_->clock.bytes().size();
    for (const Voice& voice : impl_->voices) {
        const std::span<const std::byte> own = state.subspan(place, size_of(voice.state()));
        voice.check(own);
        place += own.size();
    }
    for (const auto& part : impl_->state) {
        std::copy_n(state.begin(), part.size(), part.begin());
        state = state.subspan(part.size());
    }
    for (const Voice& voice : impl_->voices)
        if (voice.prediction) voice.prediction->restored();
}

int draw(std::span<const float> logits, double uniform, double temperature, int top_k, double top_p) {
    const int levels = static_cast<int>(logits.size());
    return Sampler(kernels(""), levels).draw(logits.data(), levels, uniform, temperature, top_k, top_p);
}

}  // namespace wavewright
