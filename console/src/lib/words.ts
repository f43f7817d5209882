// A line split into words as a shell would, without one: quotes and backslashes group, nothing is expanded or run.

export interface Words {
  words: string[]
  /** A quote is open at the end of the line. */
  open: boolean
  /** The line holds what a shell would act on, outside quotes: here it is passed on as it stands. */
  shell: boolean
}

export function split(line: string): Words {
  const words: string[] = []
  let [word, quote, inside, shell] = ['', '', false, false]
  for (let i = 0; i < line.length; i++) {
    const c = line[i]!
    if (quote === "'") {
      if (c === "'") quote = ''
      else word += c
    } else if (c === '\\' && i + 1 < line.length && (!quote || '"\\$`'.includes(line[i + 1]!))) {
      word += line[++i]
      inside = true
    } else if (quote) {
      if (c === quote) quote = ''
      else word += c
    } else if (c === '"' || c === "'") {
      quote = c
      inside = true // also an empty word is a word
    } else if (/\s/.test(c)) {
      if (inside) words.push(word)
      word = ''
      inside = false
    } else {
      if ('|&;<>$`*?'.includes(c)) shell = true
      word += c
      inside = true
    }
  }
  if (inside) words.push(word)
  return { words, open: quote !== '', shell }
}

/** Words as one line that splits into them again. */
export function join(words: readonly string[]): string {
  return words.map((w) => (/^[\w@%+=:,./-]+$/.test(w) ? w : `'${w.replaceAll("'", `'\\''`)}'`)).join(' ')
}
