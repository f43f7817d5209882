import { mount } from 'svelte'
import App from './App.svelte'
import './style.css'
import { session } from './lib/session.svelte'
import { loadTexts } from './lib/texts.svelte'

await Promise.all([loadTexts(), session.restore()])
mount(App, { target: document.getElementById('app')! })
