import { mount } from "svelte"
import "./app.css"
import Invited from "./screens/Invited.svelte"

mount(Invited, { target: document.getElementById("app")! })
