import Files
import Tensors

/// A question with several continuations. The model should give the correct one the highest score.
public struct ChoiceTask: Sendable, Equatable {
  /// A complete text for each choice, as token ids.
  package let sequences: [[Int32]]
  /// The scored tokens of each sequence. A choice's score is their mean log-probability.
  package let scored: [Range<Int>]
  /// Indices of the correct choices.
  package let correct: Set<Int>

  /// The length of the common prefix of all sequences.
  static func commonPrefix(_ sequences: [[Int32]]) -> Int {
    let shortest = sequences.map(\.count).min() ?? 0
    return (0..<shortest).first { index in sequences.contains { $0[index] != sequences[0][index] } } ?? shortest
  }

  /// A task that scores the tokens after the common prefix of all choices.
  ///
  /// - Parameters:
  ///   - question: the text before each answer, separated by a space.
  ///   - tokenize: returns the ids of a text, including those that the vocabulary adds to every text.
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

/// A model's score on a file of tasks.
public struct TaskScore: Sendable, Equatable, Codable {
  /// The number of scored tasks.
  public let tasks: Int
  /// The number of correct answers.
  public let correct: Int
  /// The fraction of correct answers, with its standard error.
  public let accuracy: Estimate
  /// Wilson's interval of the accuracy, which is valid for few tasks and extreme fractions too.
  public let interval: ConfidenceInterval
  /// The expected accuracy of guessing.
  public let chance: Double

  /// - Parameter chance: the expected accuracy of guessing.
  package init(tasks: Int, correct: Int, chance: Double) {
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
  /// - Parameter answers: whether each of `tasks` was answered correctly.
  public init(answers: [Bool], of tasks: [ChoiceTask]) {
    let choices = tasks.reduce(0) { $0 + $1.sequences.count }
    self.init(
      tasks: tasks.count, correct: answers.count { $0 }, chance: Double(tasks.count) / Double(max(1, choices)))
  }
}

extension ChoiceTask {
  /// Determines which tasks a model answers correctly.
  ///
  /// Sequences are padded at the end to a few lengths, each of which is one run of the model. A causal model is not
  /// affected by the padding.
  ///
  /// - Parameters:
  ///   - name: the model's name in messages.
  ///   - runs: the maximum number of lengths.
  ///   - memory: bytes for tiles of logits.
  ///   - run: runs the model over windows of one length; `scored` are the positions whose logits are needed.
  /// - Throws: ``ScoringError``, and what `run` throws.
  public static func answers(
    _ tasks: [ChoiceTask], named name: String, runs: Int = 4, memory: Int,
    run: (_ windows: [[Int32]], _ scored: Range<Int>) throws -> any LogitSource
  ) throws -> [Bool] {
    let choices = tasks.indices.flatMap { task in tasks[task].sequences.indices.map { (task: task, choice: $0) } }
      .sorted {
        (tasks[$0.task].sequences[$0.choice].count, $0.task, $0.choice)
          < (tasks[$1.task].sequences[$1.choice].count, $1.task, $1.choice)
      }
    var scores = tasks.map { [Double](repeating: 0, count: $0.sequences.count) }
    let size = max(1, (choices.count + runs - 1) / max(1, runs))
    for start in stride(from: 0, to: choices.count, by: size) {
      let group = choices[start..<min(choices.count, start + size)]
      let length = group.map { tasks[$0.task].sequences[$0.choice].count }.max() ?? 0
      let windows = group.map { item in
        let sequence = tasks[item.task].sequences[item.choice]
        return sequence + Array(repeating: sequence[0], count: length - sequence.count)
      }
      let first = group.map { tasks[$0.task].scored[$0.choice].lowerBound - 1 }.min() ?? 0
      let positions = first..<length - 1
      var rows: [Int] = []
      var targets: [Int32] = []
      for (window, item) in group.enumerated() {
        let task = tasks[item.task]
        for token in task.scored[item.choice] {
          rows.append(window * positions.count + token - 1 - first)
          targets.append(task.sequences[item.choice][token])
        }
      }
      let source = SelectedRows(of: try run(windows, positions), rows: rows)
      let pass = try ScoringPass.run(
        models: [(name, source)],
        windows: ScoringWindows(selected: targets), memory: memory, progress: NoObserver())
      var losses = pass.losses(model: 0)[...]
      for item in group {
        let count = tasks[item.task].scored[item.choice].count
        scores[item.task][item.choice] = -losses.prefix(count).reduce(0, +) / Double(count)
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
