import Files
import Tensors

/// A question with several continuations, of which the model should find the right one likeliest.
public struct ChoiceTask: Sendable, Equatable {
  /// A whole text for each choice, as token ids.
  public let sequences: [[Int32]]
  /// Which tokens of each sequence count: the choice's score is their mean log-probability.
  public let scored: [Range<Int>]
  /// The right choices, by their index.
  public let correct: Set<Int>

  /// How many first tokens all sequences share.
  static func commonPrefix(_ sequences: [[Int32]]) -> Int {
    let shortest = sequences.map(\.count).min() ?? 0
    return (0..<shortest).first { place in sequences.contains { $0[place] != sequences[0][place] } } ?? shortest
  }

  /// Scores what follows the shared beginning of all choices, to the end.
  ///
  /// - Parameters:
  ///   - question: the text before each answer; a space comes between.
  ///   - tokenize: ids of a text, with what the vocabulary puts in front of every text.
  init(
    question: String, answers: [String], correct: Set<Int>, path: String, number: Int, tokenize: (String) -> [Int32]
  ) throws(FormatError) {
    let sequences = answers.map { tokenize(question + " " + $0) }
    let prefix = Self.commonPrefix(sequences)
    guard prefix > 0, answers.count > 1, sequences.allSatisfy({ $0.count > prefix }) else {
      throw FormatError(
        path: path, subject: "task \(number)", "its answers do not differ, or one of them begins another")
    }
    self.init(sequences: sequences, scored: sequences.map { prefix..<$0.count }, correct: correct)
  }

  init(sequences: [[Int32]], scored: [Range<Int>], correct: Set<Int>) {
    self.sequences = sequences
    self.scored = scored
    self.correct = correct
  }
}

/// How many tasks of a file a model got right.
public struct TaskScore: Sendable, Equatable, Codable {
  /// Tasks that were scored.
  public let tasks: Int
  /// Tasks whose likeliest choice is right.
  public let correct: Int
  /// The fraction that is right, with its standard error.
  public let accuracy: Estimate
  /// Wilson's interval, which holds for few tasks and extreme fractions too.
  public let interval: ConfidenceInterval
  /// What guessing would get.
  public let chance: Double

  /// A score; `chance` is the expected part of right answers by guessing.
  public init(tasks: Int, correct: Int, chance: Double) {
    self.tasks = tasks
    self.correct = correct
    self.chance = chance
    let count = Double(max(1, tasks))
    let fraction = Double(correct) / count
    accuracy = Estimate(
      value: fraction, error: tasks > 1 ? (fraction * (1 - fraction) / (count - 1)).squareRoot() : 0)
    let quantile = 1.959963984540054
    let z = quantile * quantile / count
    let middle = (fraction + z / 2) / (1 + z)
    let half = z * (count * (4 * fraction * (1 - fraction) + z)).squareRoot() / (2 * quantile) / (1 + z)
    interval = ConfidenceInterval(low: max(0, middle - half), high: min(1, middle + half), confidence: 0.95)
  }
}

extension TaskScore {
  /// - Parameter answers: which of `tasks` were answered correctly.
  public init(answers: [Bool], of tasks: [ChoiceTask]) {
    let choices = tasks.reduce(0) { $0 + $1.sequences.count }
    self.init(
      tasks: tasks.count, correct: answers.count { $0 }, chance: Double(tasks.count) / Double(max(1, choices)))
  }
}

extension ChoiceTask {
  /// Finds out which tasks a model answers correctly.
  ///
  /// Sequences are padded behind their end, which a causal model can't see, to a few lengths, so that each length is one
  /// run of the model.
  /// - Parameters:
  ///   - runs: how many lengths at most.
  ///   - run: a run of the model over windows of one length; the range is the positions whose logits are wanted.
  /// - Throws: ``ScoringError``, and what `run` throws.
  public static func answers(
    _ tasks: [ChoiceTask], named name: String, runs: Int = 4, memory: Int,
    run: (_ windows: [[Int32]], _ scored: Range<Int>) throws -> any LogitSource
  ) throws -> [Bool] {
    let places = tasks.indices.flatMap { task in tasks[task].sequences.indices.map { (task: task, choice: $0) } }
      .sorted {
        (tasks[$0.task].sequences[$0.choice].count, $0.task, $0.choice)
          < (tasks[$1.task].sequences[$1.choice].count, $1.task, $1.choice)
      }
    var scores = tasks.map { [Double](repeating: 0, count: $0.sequences.count) }
    let size = max(1, (places.count + runs - 1) / max(1, runs))
    for start in stride(from: 0, to: places.count, by: size) {
      let group = places[start..<min(places.count, start + size)]
      let length = group.map { tasks[$0.task].sequences[$0.choice].count }.max() ?? 0
      let windows = group.map { place in
        let sequence = tasks[place.task].sequences[place.choice]
        return sequence + Array(repeating: sequence[0], count: length - sequence.count)
      }
      let first = group.map { tasks[$0.task].scored[$0.choice].lowerBound - 1 }.min() ?? 0
      let positions = first..<length - 1
      var rows: [Int] = []
      var targets: [Int32] = []
      for (window, place) in group.enumerated() {
        let task = tasks[place.task]
        for token in task.scored[place.choice] {
          rows.append(window * positions.count + token - 1 - first)
          targets.append(task.sequences[place.choice][token])
        }
      }
      let source = SelectedRows(of: try run(windows, positions), rows: rows)
      let pass = try ScoringPass.run(
        models: [(name, source)],
        windows: ScoringWindows(selected: targets), memory: memory, progress: NoObserver())
      var losses = pass.losses(model: 0)[...]
      for place in group {
        let count = tasks[place.task].scored[place.choice].count
        scores[place.task][place.choice] = -losses.prefix(count).reduce(0, +) / Double(count)
        losses = losses.dropFirst(count)
      }
    }
    return zip(tasks, scores).map { task, scores in
      var best = 0
      for index in scores.indices where scores[index] > scores[best] { best = index }
      return task.correct.contains(best)
    }
  }
}
