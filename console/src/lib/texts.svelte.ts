// Texts in English and Chinese, from the one catalogue of the Python code.
import type en from '../generated/texts.en.json'

export type Key = keyof typeof en
export type Lang = 'en' | 'zh'

const KEPT = 'sanjin.lang'

function first(): Lang {
  const kept = localStorage.getItem(KEPT)
  if (kept === 'en' || kept === 'zh') return kept
  return navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en'
}

class Texts {
  lang = $state<Lang>(first())
  found = $state.raw<Record<string, string>>({})
}

const texts = new Texts()

export async function loadTexts(lang: Lang = texts.lang) {
  const module = lang === 'zh' ? await import('../generated/texts.zh.json') : await import('../generated/texts.en.json')
  texts.found = module.default
  texts.lang = lang
  document.documentElement.lang = lang === 'zh' ? 'zh-CN' : 'en'
}

export async function speak(lang: Lang) {
  localStorage.setItem(KEPT, lang)
  await loadTexts(lang)
}

export function lang(): Lang {
  return texts.lang
}

/** The text of a key. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return fill(texts.found[key] ?? key, values)
}

/** The text of a group's member that the API named (`reason`, `quota`); the name itself where there is none. */
export function word(group: string, name: string): string {
  return texts.found[`${group}.${name}`] ?? name.replaceAll('_', ' ')
}

function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)[^}]*\}/g, (all, name: string) => String(values[name] ?? all))
}

/** The name of a thing that has one in each language. */
export function named(thing: { name_en: string; name_zh: string }): string {
  return texts.lang === 'zh' ? thing.name_zh : thing.name_en
}
