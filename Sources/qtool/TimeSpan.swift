import ArgumentParser

/// A time span on the command line: `2h`, `90min`, `45s`, `1.5h`.
struct TimeSpan: ExpressibleByArgument, Equatable {
  let seconds: Double

  init(seconds: Double) { self.seconds = seconds }

  /// A default value in help.
  var defaultValueDescription: String {
    let units = [("h", 3600.0), ("min", 60), ("s", 1)]
    let (name, unit) = units.first { seconds >= $0.1 } ?? ("s", 1)
    return Figures.significant(seconds / unit, 1) + name
  }

  init?(argument: String) {
    if Double(argument) == 0 {
      seconds = 0
      return
    }
    let digits = argument.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    let units = ["s": 1.0, "min": 60, "m": 60, "h": 3600, "d": 86_400]
    guard let number = Double(digits), let unit = units[argument.dropFirst(digits.count).lowercased()], number >= 0,
      number < 1e6
    else { return nil }
    seconds = number * unit
  }
}

/// Time for measuring and searching: a span, or as much as the model is worth.
enum FitBudget: ExpressibleByArgument, Equatable {
  case auto
  case seconds(Double)

  var defaultValueDescription: String {
    switch self {
    case .auto: "auto"
    case .seconds(let seconds): TimeSpan(seconds: seconds).defaultValueDescription
    }
  }

  init?(argument: String) {
    if argument.lowercased() == "auto" {
      self = .auto
    } else if let span = TimeSpan(argument: argument) {
      self = .seconds(span.seconds)
    } else {
      return nil
    }
  }

  /// Nothing is to be measured.
  var isNothing: Bool { self == .seconds(0) }
}
