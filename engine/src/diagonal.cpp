#include "diagonal.hpp"

#include <algorithm>
#include <cmath>

namespace wavewright {
namespace {

constexpr int kLanes = 16;  // of channels, the least that a thread computes

}  // namespace

Diagonal::Diagonal(const BuildContext& context, const std::string& name, int channels, int modes, int period)
    : runtime_(&context.runtime),
      channels_(channels),
      modes_(modes),
      constants_(DiagonalView::kRows * modes, channels),
      direct_(1, channels),
      states_(context.runtime.streams * 2 * modes, channels),
      repeats_(std::size_t(modes) * channels) {
    const Matrix nu = context.weight(name + ".nu", channels, modes);
    const Matrix theta = context.weight(name + ".theta", channels, modes);
    const Matrix real = context.tap_weight(name + ".kappa", channels, modes, 2, 0);
    const Matrix imaginary = context.tap_weight(name + ".kappa", channels, modes, 2, 1);
    const Matrix delta = context.weight(name + ".delta", channels);
    for (int channel = 0; channel < channels; channel++) {
        direct_[0][channel] = static_cast<float>(delta(channel, 0));
        for (int mode = 0; mode < modes; mode++) {
            const double decay = std::exp(nu(channel, mode)), turn = theta(channel, mode);
            const double gamma = std::pow(-std::expm1(-2 * decay), 0.75);
            const std::complex<double> lambda = std::polar(std::exp(-decay), turn);
            const std::complex<double> weight = gamma * std::complex(real(channel, mode), imaginary(channel, mode));
            const std::complex<double> rest = lambda - std::complex<double>(std::complex<float>(lambda));
            const double rows[] = {lambda.real(), lambda.imag(), rest.real(),
                                   rest.imag(),   weight.real(), weight.imag()};
            for (int row = 0; row < DiagonalView::kRows; row++)
                constants_[DiagonalView::kRows * mode + row][channel] = static_cast<float>(rows[row]);
            repeats_[std::size_t(mode) * channels + channel] =
                1.0 / (1.0 - std::polar(std::exp(-decay * period), turn * period));
        }
    }
}

Cost Diagonal::cost() const {
    constexpr int of_mode = 8 + 2;  // lambda times the state, with what lambda lacks of float64, and the real part of y
    return {std::size_t(channels_) * (of_mode * modes_ + 1), constants_.bytes().size() + direct_.bytes().size()};
}

void Diagonal::step(int thread, const VectorsView& u, const VectorsView& y) const {
    const DiagonalView view{modes_, constants_.stride, constants_.data, direct_.data};
    const auto [first, last] = runtime_->team.rows(thread, static_cast<int>(y.stride) / kLanes);
    const auto [first_vector, last_vector] = runtime_->team.streams(thread, y.count);
    for (int i = first_vector; i < last_vector; i++)
        runtime_->kernels.diagonal(view, first * kLanes, last * kLanes, u[i], states(i % runtime_->streams).data, y[i]);
}

void Diagonal::clear() const { std::fill_n(states_.data, 2 * modes_ * states_.stride, 0.0f); }

void Diagonal::settle() const {
    for (int mode = 0; mode < modes_; mode++)
        for (int channel = 0; channel < channels_; channel++) {
            float* const h = states_[2 * mode] + channel;
            const std::complex<double> settled =
                std::complex<double>(h[0], h[states_.stride]) * repeats_[std::size_t(mode) * channels_ + channel];
            h[0] = static_cast<float>(settled.real());
            h[states_.stride] = static_cast<float>(settled.imag());
        }
    for (int s = 1; s < runtime_->streams; s++) std::copy_n(states_.data, 2 * modes_ * states_.stride, states(s).data);
}

}  // namespace wavewright
