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
    let digits = argument.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    let units = ["s": 1.0, "min": 60, "m": 60, "h": 3600, "d": 86_400]
    guard let number = Double(digits), let unit = units[argument.dropFirst(digits.count).lowercased()], number >= 0,
      number < 1e6
    else { return nil }
    seconds = number * unit
  }
}
